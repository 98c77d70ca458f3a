//! TPC-H's data at a scale factor of 0.01: made by `tpchgen`, copied into PostgreSQL by psql, and from there by dxt into
//! the files and the other databases.

use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tpchgen::csv::{CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv};
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen::text::TextPool;

use crate::support::Spread;

/// Written into q11, whose fraction depends on it.
const SCALE: f64 = 0.01;

/// The text that comments are cut from. The specification's 300 MB would take longer to make than all of the data; from
/// less of it come other comments, of the same words.
const TEXT_BYTES: i32 = 4 << 20;

/// The tables in an order in which their foreign keys hold.
pub const TABLES: [&str; 8] = ["region", "nation", "part", "supplier", "partsupp", "customer", "orders", "lineitem"];

/// The tests use one load of the data: it goes with the last test that holds it.
static LOADED: Mutex<Weak<Spread>> = Mutex::new(Weak::new());

/// The tables, loaded where no other test holds them.
pub fn loaded() -> Arc<Spread> {
    // One test's failure to load is no reason for the next not to try.
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spread) = loaded.upgrade() {
        return spread;
    }
    let spread = Arc::new(Spread::new(&format!("{}\n{}\nANALYZE;", include_str!("schema.sql"), copies())));
    spread.copy(&TABLES);
    *loaded = Arc::downgrade(&spread);
    spread
}

/// The rows of all tables as COPY statements for psql.
fn copies() -> String {
    let distributions = Distributions::static_default();
    let text = TextPool::new(TEXT_BYTES, distributions);
    let mut sql = String::new();
    let nations = NationGenerator::new_with_distributions_and_text_pool(distributions, &text);
    let regions = RegionGenerator::new_with_distributions_and_text_pool(distributions, &text);
    let parts = PartGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, distributions, &text);
    let suppliers = SupplierGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, distributions, &text);
    let stock = PartSuppGenerator::new_with_text_pool(SCALE, 1, 1, &text);
    let customers = CustomerGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, distributions, &text);
    let orders = OrderGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, distributions, &text);
    let items = LineItemGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, distributions, &text);
    copy(&mut sql, "region", RegionCsv::header(), regions.iter().map(RegionCsv::new));
    copy(&mut sql, "nation", NationCsv::header(), nations.iter().map(NationCsv::new));
    copy(&mut sql, "part", PartCsv::header(), parts.iter().map(PartCsv::new));
    copy(&mut sql, "supplier", SupplierCsv::header(), suppliers.iter().map(SupplierCsv::new));
    copy(&mut sql, "partsupp", PartSuppCsv::header(), stock.iter().map(PartSuppCsv::new));
    copy(&mut sql, "customer", CustomerCsv::header(), customers.iter().map(CustomerCsv::new));
    copy(&mut sql, "orders", OrderCsv::header(), orders.iter().map(OrderCsv::new));
    copy(&mut sql, "lineitem", LineItemCsv::header(), items.iter().map(LineItemCsv::new));
    sql
}

fn copy(sql: &mut String, table: &str, columns: &str, rows: impl Iterator<Item = impl Display>) {
    writeln!(sql, "COPY {table} ({columns}) FROM STDIN (FORMAT csv);").expect("a string");
    rows.for_each(|row| writeln!(sql, "{row}").expect("a string"));
    sql.push_str("\\.\n");
}
