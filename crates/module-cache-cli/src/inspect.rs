//! `module-cache inspect`: what the code of entries depends on.

use anyhow::Result;
use module_cache::FileSystemCache;
use module_cache::backend::{ArtifactEngine, CodeFields, KeyId, ListedEntry};

use crate::args::InspectArgs;
use crate::selection::{Place, Selection};
use crate::{cache_folder, engine, messages, output};

/// Runs the command and returns its exit code: 0 if all that was selected can be used.
///
/// # Errors
///
/// When the cache folder cannot be read, or nothing can be printed.
pub(crate) fn inspect(args: &InspectArgs) -> Result<u8> {
    let Some(folder) = cache_folder::open_existing(&args.cache_dir)? else {
        return Ok(u8::from(!args.select.is_all()));
    };
    let selection = Selection::of(Place::Folder, folder.list()?, &args.select);
    for problem in &selection.problems {
        messages::error(format_args!("{problem}"));
    }
    let wasmtime = engine::builder(&[], None).module_engine()?;
    #[cfg(feature = "wasmer")]
    let wasmer = {
        let engine = wasmer::sys::Cranelift::default().into();
        module_cache::WasmerEngine::without_middleware(&engine)?
    };
    let fields_of = |artifact: &[u8]| {
        let fields = wasmtime.code_fields_of(artifact);
        #[cfg(feature = "wasmer")]
        if fields.is_empty() {
            return wasmer.code_fields_of(artifact);
        }
        fields
    };
    let mut is_all = selection.problems.is_empty();
    for (at, listed) in selection.entries.iter().enumerate() {
        if at > 0 {
            output::print_line(b"")?;
        }
        is_all &= print(&folder, listed, &fields_of)?;
    }
    output::flush()?;
    Ok(u8::from(!is_all))
}

/// Prints what is known of an entry, if it can be used.
fn print(
    folder: &FileSystemCache,
    listed: &ListedEntry,
    fields_of: &dyn Fn(&[u8]) -> CodeFields,
) -> Result<bool> {
    let Some(entry) = folder.get_listed(listed)? else {
        messages::error(format_args!(
            "{}/{} cannot be used; see `module-cache verify`",
            listed.engine, listed.hash
        ));
        return Ok(false);
    };
    let (id, signed) = (*entry.key().engine(), entry.key_id());
    let fields = fields_of(&entry.into_artifact()?.into_bytes()?);
    let digest = id
        .digest()
        .iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    let signed = signed.map_or_else(|| "no".to_owned(), |key: KeyId| format!("with key {key}"));
    let fields = match fields.to_string() {
        fields if fields.is_empty() => "it does not tell what it depends on".to_owned(),
        fields => fields.replace('\n', "\n  "),
    };
    let text = format!(
        "hash: {}\nengine: {} {digest}\nbytes: {}\nsigned: {signed}\ncode:\n  {}\n",
        listed.hash,
        id.label(),
        listed.bytes,
        fields.trim_end(),
    );
    output::print(text.as_bytes())?;
    Ok(true)
}
