//! The course of a load that found nothing stored, apart from what its steps do.
//!
//! A loader takes them on a thread that blocks, and the simulation of a fleet in virtual time; so what is simulated is
//! what runs.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use module_cache_core::permit::PermitOutcome;

/// How many holders a load waits for.
const MOST_WAITS: u32 = 2;

/// The answer to "may I compile this?", as [`CompilePermit`](module_cache_core::permit::CompilePermit).
pub enum Permit<G, W> {
    Exclusive(G),
    Held(W),
    Uncoordinated,
}

/// How a load came by its module.
pub enum Course<M, G> {
    Found(M),
    /// With the permit that is to be given back when it is saved.
    Compiled(M, Option<G>),
}

/// What a load can do.
#[expect(async_fn_in_trait, reason = "it is used with the types it is made for")]
pub trait Steps {
    type Module;
    type Error;
    type Slot;
    type Guard;
    type Wait;

    /// Looks where modules are stored.
    async fn look_up(&self) -> Option<Self::Module>;
    /// Waits for a slot to compile in.
    async fn slot(&self) -> Result<Self::Slot, Self::Error>;
    async fn permit(&self) -> Permit<Self::Guard, Self::Wait>;
    async fn outlast(&self, wait: Self::Wait) -> PermitOutcome;
    async fn compile(&self) -> Result<Self::Module, Self::Error>;
    fn release(&self, guard: Self::Guard, outcome: PermitOutcome);
}

/// Compiles, unless somebody else has stored the module by the time that this has a slot and the permit.
///
/// The slot comes first, and is given back while another holder compiles the module: nobody holds a permit and
/// waits for a slot, or the other way round. Who waited for a holder that stored nothing compiles without a permit: the next
/// holder would store nothing either. So does who waited twice, for one that died and for one that took over from it.
pub async fn find_or_compile<S: Steps>(steps: &S) -> Result<Course<S::Module, S::Guard>, S::Error> {
    let (mut alone, mut waits) = (false, 0);
    loop {
        let slot = steps.slot().await?;
        let permit = if alone {
            None
        } else {
            match steps.permit().await {
                Permit::Exclusive(permit) => Some(permit),
                Permit::Uncoordinated => None,
                Permit::Held(wait) => {
                    drop(slot);
                    let outcome = steps.outlast(wait).await;
                    waits += 1;
                    alone = waits == MOST_WAITS
                        || matches!(outcome, PermitOutcome::NotStored | PermitOutcome::Failed);
                    match steps.look_up().await {
                        Some(module) => return Ok(Course::Found(module)),
                        None => continue,
                    }
                }
            }
        };
        // Even a permit that came at once may come just after another holder was done.
        if permit.is_some() {
            if let Some(module) = steps.look_up().await {
                return Ok(Course::Found(module));
            }
        }
        return match steps.compile().await {
            Ok(module) => Ok(Course::Compiled(module, permit)),
            Err(error) => {
                if let Some(permit) = permit {
                    steps.release(permit, PermitOutcome::Failed);
                }
                Err(error)
            }
        };
    }
}

/// The result of steps that block instead of waiting.
pub(crate) fn blocking<T>(course: impl Future<Output = T>) -> T {
    let mut course = pin!(course);
    loop {
        // None of the steps is ever pending, so this is the only round.
        if let Poll::Ready(result) = course
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return result;
        }
    }
}
