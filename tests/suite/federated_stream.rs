//! A stream that is a query across PostgreSQL, another database, Parquet files and a buffer, and upserts into PostgreSQL:
//! it equals what PostgreSQL answers with all of the data in one place.

use crate::support::Spread;

/// All of the data in PostgreSQL: what is elsewhere later is a copy. Names, countries and kinds are such that joins
/// multiply rows, find none, and meet NULL.
const TABLES: &str = "
    CREATE TABLE orders (
        order_id bigint PRIMARY KEY, customer_id integer, status text NOT NULL, quantity integer NOT NULL,
        price numeric(10, 2) NOT NULL, updated_at timestamptz NOT NULL
    );
    INSERT INTO orders
    SELECT i, nullif(i % 211, 0), (ARRAY['open', 'paid', 'draft', 'Draft', 'sent'])[1 + i % 5], i % 17 - 3,
        (i * 7919 % 1000000) / 100.0, timestamptz '2026-01-01 00:00:00+00' + i * interval '7 minutes 0.000001 seconds'
    FROM generate_series(1, 4000) i;
    CREATE TABLE customers (customer_id integer PRIMARY KEY, name text NOT NULL, country text);
    INSERT INTO customers
    SELECT i, 'Zoë ' || i, (ARRAY['de', 'DE', 'fr', NULL, 'jp', 'xx'])[1 + i % 6] FROM generate_series(1, 200) i;
    CREATE TABLE events (order_id bigint NOT NULL, kind text, at timestamptz NOT NULL);
    INSERT INTO events
    SELECT i * 37 % 4400, (ARRAY['seen', 'packed', NULL, ''])[1 + i % 4], timestamptz '2026-02-01 00:00:00+00' + i * interval '1 minute'
    FROM generate_series(1, 9000) i;
    CREATE TABLE rates (country text PRIMARY KEY, rate numeric(8, 4) NOT NULL);
    INSERT INTO rates VALUES ('de', 1), ('DE', 1.0001), ('fr', 0.9), ('jp', 163.4521);
";

/// The query, with its four tables' names to be put in.
const QUERY: &str = "
    SELECT o.order_id, c.name AS customer, c.country, o.quantity * o.price * r.rate AS amount, count(e.kind) AS events,
        min(e.kind) AS first_kind, max(e.at) AS last_event, o.updated_at
    FROM {orders} o
    JOIN {customers} c ON c.customer_id = o.customer_id
    LEFT JOIN {rates} r ON r.country = c.country
    LEFT JOIN {events} e ON e.order_id = o.order_id
    WHERE o.status <> 'draft'
    GROUP BY o.order_id, c.name, c.country, o.quantity, o.price, r.rate, o.updated_at";

struct Shop {
    spread: Spread,
    /// The connection of the database that has the customers.
    other: &'static str,
}

impl Shop {
    /// One for each database beside PostgreSQL.
    fn each() -> impl Iterator<Item = Self> {
        (0..).map_while(Self::with)
    }

    /// Makes the tables, and takes the customers into a database, the events into two files, and the rates into a buffer.
    fn with(database: usize) -> Option<Self> {
        let spread = Spread::new(TABLES);
        let other = *spread.others().get(database)?;
        let shop = Self { spread, other };
        shop.copy("customers", &shop.spread.target(shop.other, "customers"), "");
        shop.copy("events", &shop.spread.target("lake", "events/1"), "criteria: {where: 'order_id < 1500'}");
        shop.copy("events", &shop.spread.target("lake", "events/2"), "criteria: {where: 'order_id >= 1500'}");
        shop.spread.project().write("enrich.yaml", &shop.pipeline("full"));
        shop.spread.project().dxt(&["extract", "enrich.yaml", "--select", "rates", "--quiet"]).exits(0);
        Some(shop)
    }

    /// Copies a table of PostgreSQL by dxt.
    fn copy(&self, table: &str, target: &str, rest: &str) {
        let stream =
            format!("  - id: s\n    source: {}\n    target: {target}\n    {rest}\n", self.spread.source(table));
        let rest = "buffer: {format: none}\nload: {mode: replace}\n";
        self.spread.project().run(&self.spread.pipeline("copy", rest, &stream)).exits(0);
    }

    fn pipeline(&self, extract: &str) -> String {
        let extract = match extract {
            "incremental" => "{mode: incremental, watermark_field: updated_at}".to_string(),
            mode => format!("{{mode: {mode}}}"),
        };
        let names = [
            ("{orders}", self.spread.name("pg", "orders")),
            ("{customers}", self.spread.name(self.other, "customers")),
            ("{events}", self.spread.name("lake", "events/*")),
            ("{rates}", "buffer.enrich.rates".into()),
        ];
        let sql = names.iter().fold(QUERY.replace('\n', "\n      "), |sql, (name, with)| sql.replace(name, with));
        let streams = format!(
            "  - id: rates\n    source: {}\n    target: {}\n  - id: enriched\n    source:\n      type: query\n      sql: |{sql}\n    \
             target: {}\n    extract: {extract}\n    load: {{mode: upsert, upsert_keys: [order_id]}}\n",
            self.spread.source("rates"),
            self.spread.source("unused"),
            self.spread.source("enriched"),
        );
        self.spread.pipeline("enrich", "", &streams)
    }

    /// Runs the stream: rows read, inserted, updated and unchanged.
    fn run(&self, extract: &str) -> [u64; 4] {
        self.spread.project().write("enrich.yaml", &self.pipeline(extract));
        let args = ["run", "enrich.yaml", "--select", "enriched", "--format", "json", "--quiet"];
        self.spread.project().dxt(&args).exits(0).counts("enriched")
    }

    /// Asserts that the target has just the rows that PostgreSQL makes of its own tables.
    #[track_caller]
    fn is_right(&self) {
        let all = ["orders", "customers", "events", "rates"].iter();
        let sql = all.fold(QUERY.to_string(), |sql, name| sql.replace(&format!("{{{name}}}"), name));
        let different = self.spread.psql(&format!(
            "WITH expected AS ({sql}), missing AS (SELECT * FROM expected EXCEPT ALL SELECT * FROM enriched), \
             added AS (SELECT * FROM enriched EXCEPT ALL SELECT * FROM expected) \
             SELECT 'missing', * FROM missing UNION ALL SELECT 'added', * FROM added ORDER BY 2, 1 LIMIT 5"
        ));
        assert_eq!(different, "", "{}", self.other);
    }

    /// The newest transaction that has written a row of the target.
    fn last_write(&self) -> String {
        self.spread.psql("SELECT max(xmin::text::bigint) FROM enriched")
    }
}

#[test]
fn a_stream_across_four_systems_equals_the_answer_with_all_data_in_one_place_and_twice_changes_nothing() {
    for shop in Shop::each() {
        let [read, inserted, updated, unchanged] = shop.run("full");
        assert!(read > 2000, "{read} rows");
        assert_eq!([inserted, updated, unchanged], [read, 0, 0]);
        shop.is_right();
        let written = shop.last_write();
        assert_eq!(shop.run("full"), [read, 0, 0, read]);
        assert_eq!(shop.last_write(), written);
        shop.is_right();
    }
}

#[test]
fn an_incremental_stream_across_four_systems_reads_what_has_changed() {
    for shop in Shop::each() {
        let [read, ..] = shop.run("incremental");
        shop.is_right();
        // The greatest is read again, for more may have come at its instant.
        assert_eq!(shop.run("incremental"), [1, 0, 0, 1]);
        shop.spread.psql(
            "UPDATE orders SET quantity = quantity + 1, updated_at = '2026-03-01 00:00:00+02' WHERE order_id IN (1, 6, 11, 3990);
             UPDATE orders SET status = 'sent', updated_at = '2026-03-01 00:00:00.5+00' WHERE order_id = 2;
             INSERT INTO orders VALUES (5001, 1, 'open', 2, 12.50, '2026-03-01 00:00:01+00'), (5002, 1, 'draft', 2, 12.50, '2026-03-01 00:00:02+00'),
                 (5003, 7, 'paid', -1, 0.01, '2026-03-01 00:00:01+00');
             INSERT INTO events VALUES (5001, 'seen', '2026-03-02 00:00:00+00'), (5001, 'packed', '2026-03-02 00:00:01+00'),
                 (1, 'aaa', '2026-03-02 00:00:00+00')",
        );
        // A file that was not there when the stream ran first.
        shop.copy("events", &shop.spread.target("lake", "events/3"), "criteria: {where: \"at >= '2026-03-02'\"}");
        let plan = shop.spread.project().dxt(&["explain", "enrich.yaml", "--select", "enriched"]).exits(0).out;
        let asked = plan.lines().find(|line| line.contains("RemoteScanExec") && line.contains("orders"));
        assert!(asked.is_some_and(|sql| sql.contains("\"updated_at\" >= TIMESTAMPTZ '2026-01-20")), "{plan}");
        assert_eq!(shop.spread.psql("SELECT count(*) FROM enriched"), read.to_string());
        // One of the new orders is a draft, and one is a draft no more.
        assert_eq!(shop.run("incremental"), [8, 3, 4, 1]);
        shop.is_right();
    }
}
