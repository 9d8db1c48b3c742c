//! What is said of a storage holds no secret of it, whatever failed and whatever service it is.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use module_cache_core::{CacheError, EntryStore, Trust};
use module_cache_remote::RemoteCache;

use crate::scene::{Scene, key_of};
use crate::servers;

fn text_of(error: &CacheError) -> String {
    let mut text = format!("{error:?}");
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        write!(text, " {error} {error:?}").unwrap();
        cause = error.source();
    }
    text
}

#[test]
fn no_service_tells_its_secrets() {
    let nowhere = servers::free_address();
    for uri in [
        format!(
            "azblob://c/p?account_name=a&endpoint=http://{nowhere}&sas_token=sv=1%26sig=hidden"
        ),
        format!(
            "azblob://c/p?account_name=a&account_key=aGlkZGVu&endpoint=http://u:hidden@{nowhere}"
        ),
        format!(
            "s3://b/p?region=r&endpoint=http://u:hidden@{nowhere}&access_key_id=i&secret_access_key=hidden&session_token=hidden"
        ),
        format!("gcs://b/p?endpoint=http://u:hidden@{nowhere}&token=hidden"),
        format!("redis://u:hidden@{nowhere}/0/p"),
        format!("http://u:hidden@{nowhere}/p?token=hidden"),
        format!("oci://u:hidden@{nowhere}/p"),
        format!("oci://u:hidden@{}/p", servers::registry_address()),
        "oci://u:hidden@host/UPPER?password=hidden".to_owned(),
        format!("memcached://u:hidden@{nowhere}/p"),
        "redis://u:hidden@/?:".to_owned(),
        "nonsense://u:hidden@host/?password=hidden".to_owned(),
        "s3://u:hidden@b/p?endpoint=:hidden&secret_access_key=hidden".to_owned(),
    ] {
        let check = |text: &str| assert!(!text.contains("hidden"), "{uri}: {text}");
        let options = match RemoteCache::from_uri(&uri, Trust::shared(key_of(1))) {
            Ok(options) => options.time_limit(Duration::from_secs(2)),
            Err(error) => {
                check(&text_of(&error));
                continue;
            }
        };
        check(&format!("{options:?}"));
        let cache = options.build();
        check(&format!("{cache:?}"));
        let key = Scene::new(1, 100).key();
        if let Err(error) = cache.try_get(&key) {
            check(&text_of(&error));
        }
        drop(cache.permit(&key));
        check(&format!("{:?} {cache:?}", cache.remote_stats()));
    }
}
