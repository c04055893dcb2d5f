//! Panics of decoders and queries on bytes and rows that nobody foresaw: they are caught and told
//! as errors, and must not end the run.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

tokio::task_local! {
    static IS_CAUGHT: ();
}

/// What `work` gives; `None` if it panicked.
pub async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    // Nothing of what the panic left half done is used again.
    AssertUnwindSafe(marked(work)).catch_unwind().await.ok()
}

/// `work`, whose panics somebody else catches: whoever waits for its task.
pub fn marked<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    IS_CAUGHT.scope((), work)
}

/// Whether a panic of what runs here and now is caught, and so told as an error.
#[must_use]
pub fn is_caught() -> bool {
    IS_CAUGHT.try_with(|()| ()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_nothing_else_is_lost() {
        fn run<T>(work: impl Future<Output = T>) -> Option<T> {
            futures::executor::block_on(caught(work))
        }
        assert_eq!(run(async { is_caught() }), Some(true));
        assert_eq!(run(async { panic!("as some bytes make it") }), None::<()>);
        assert!(!is_caught());
    }
}
