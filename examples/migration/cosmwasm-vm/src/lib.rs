//! What docs/migration/cosmwasm-vm.md shows as the code before: all of this file but these two lines.
//! `cargo xtask ci --weekly` checks that it compiles.

use std::path::Path;

use cosmwasm_vm::testing::{MockApi, MockQuerier, MockStorage, mock_backend};
use cosmwasm_vm::{Cache, CacheOptions, Instance, InstanceOptions, Size, VmResult};

type Contracts = Cache<MockApi, MockStorage, MockQuerier>;

pub fn open(folder: &Path) -> VmResult<Contracts> {
    let capabilities = cosmwasm_vm::capabilities_from_csv("iterator,staking");
    let options = CacheOptions::new(folder, capabilities, Size::mebi(1024), Size::mebi(32));
    // SAFETY: nobody but this node writes to the folder.
    unsafe { Cache::new(options) }
}

pub fn instantiate(
    contracts: &Contracts,
    wasm: &[u8],
) -> VmResult<Instance<MockApi, MockStorage, MockQuerier>> {
    let checksum = contracts.store_code(wasm, true, true)?;
    let options = InstanceOptions { gas_limit: 500_000 };
    contracts.get_instance(&checksum, mock_backend(&[]), options)
}
