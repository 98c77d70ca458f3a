//! A query's answer as text, to be compared whatever the batches that it came in.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use dxt::Engine;
use dxt::plan::stream::select_only;

use super::query::Same;

/// The columns' names and types, and the rows.
pub struct Answer {
    columns: Vec<(String, DataType)>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// Runs a query as `dxt query` does, and gives what it answers or says.
pub async fn ask(engine: Arc<Engine>, sql: String) -> Result<Answer, String> {
    // In a task of its own: a panic is an answer, too, and must not hide those of other queries.
    let asked = tokio::spawn(async move {
        let context = engine.context(2, 8192);
        let plan = select_only(&context, &sql).await.map_err(|e| e.report())?;
        let columns = plan.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let rows = context.execute_logical_plan(plan).await.map_err(|e| e.to_string())?;
        let batches = rows.collect().await.map_err(|e| dxt::Error::from(e).report())?;
        Ok(Answer { columns, rows: batches.iter().flat_map(text).collect() })
    });
    asked.await.unwrap_or_else(|panic| Err(format!("{panic}")))
}

fn text(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::default().with_display_error(false);
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("a type that prints")).collect();
    let cell = |c: usize, row: usize| (!batch.column(c).is_null(row)).then(|| columns[c].value(row).to_string());
    (0..batch.num_rows()).map(|row| (0..columns.len()).map(|c| cell(c, row)).collect()).collect()
}

/// What differs first, or nothing.
pub fn difference(a: &Result<Answer, String>, b: &Result<Answer, String>, same: Same) -> Option<String> {
    let (a, b) = match (a, b) {
        (Ok(a), Ok(b)) => (a, b),
        // Each says it in its own words.
        (Err(_), Err(_)) => return None,
        (Ok(a), Err(b)) => return Some(format!("{} rows, and an error: {b}", a.rows.len())),
        (Err(a), Ok(b)) => return Some(format!("an error, and {} rows: {a}", b.rows.len())),
    };
    if a.columns != b.columns {
        return Some(format!("{:?} and {:?}", a.columns, b.columns));
    }
    if a.rows.len() != b.rows.len() {
        return Some(format!("{} rows and {}", a.rows.len(), b.rows.len()));
    }
    let (mut a, mut b) = (a.rows.clone(), b.rows.clone());
    match same {
        Same::Count => return None,
        Same::Sequence => {}
        Same::Rows => {
            a.sort();
            b.sort();
        }
    }
    let different = a.iter().zip(&b).position(|(a, b)| a != b)?;
    Some(format!("row {}: {:?} and {:?}", different + 1, a[different], b[different]))
}
