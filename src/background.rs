//! Work that goes on beside an answer, and that a stop waits for.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// How many such pieces of work run at once: each is a conversation with a backend that has a handful of threads.
const AT_ONCE: u32 = 4;

/// Work beside the answers.
#[derive(Clone, Debug)]
pub struct Background(Arc<Semaphore>);

impl Default for Background {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE as usize)))
    }
}

impl Background {
    /// Runs `work` on this thread's runtime as soon as there is room for it.
    pub fn spawn<T>(&self, work: impl Future<Output = T> + Send + 'static) {
        let room = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _room = room.acquire_owned().await;
            work.await;
        });
    }

    /// Waits until nothing runs any more.
    pub async fn finish(&self) {
        let _all = self.0.acquire_many(AT_ONCE).await;
    }
}
