//! Rows by our own driver, until those of connectorx are there.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use super::client::Session;
use super::config::Settings;
use super::decode::fetch;
use crate::connector::sql::RemoteQuery;
use crate::error::{ErrorKind, Result};
use crate::model::DxtSchema;

pub(super) fn open(settings: Arc<Settings>, label: String, query: RemoteQuery) -> Result<SendableRecordBatchStream> {
    let schema = DxtSchema::new(query.fields.clone()).to_arrow();
    let out = schema.clone();
    let one = stream::once(async move {
        let mut session = Session::open(&settings, ErrorKind::Extractor).await?;
        let batch = fetch(&mut session, &query.sql, &query.fields, &format!("reading {label}")).await?;
        session.close().await;
        Ok::<_, crate::error::Error>(batch.with_schema(out).map_err(DataFusionError::from)?)
    });
    let one = futures::StreamExt::map(one, |batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, one)))
}
