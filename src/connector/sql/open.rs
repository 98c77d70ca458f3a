//! The connections of a connector that are open, counted by those who hold them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

/// A count of connections: each holds a clone.
#[derive(Debug, Clone, Default)]
pub struct Open(Arc<()>);

impl Open {
    /// How long an end is waited for.
    const GRACE: Duration = Duration::from_secs(5);

    /// Waits, for a while, until no connection is left. A process that ends before leaves a query that nobody reads
    /// running on its server.
    pub async fn ended(&self) {
        let all = async {
            while Arc::strong_count(&self.0) > 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = timeout(Self::GRACE, all).await;
    }
}
