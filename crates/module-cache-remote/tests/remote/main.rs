//! How the cache behaves on servers and networks that fail, with entries that lie, and in a fleet.

mod bad_entries;
mod congestion;
mod fleet;
mod layers;
mod leases;
mod lies;
mod oci;
#[path = "../support/operators.rs"]
mod operators;
mod outages;
mod proxy;
mod registry;
mod runtimes;
mod scene;
mod secrets;
#[path = "../support/servers.rs"]
mod servers;
