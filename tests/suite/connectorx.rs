//! Connections of systems that are read through connectorx alone.

#[cfg(not(feature = "clickhouse"))]
#[test]
fn a_system_whose_driver_is_not_built_in_says_which_feature_to_build_with() {
    let project = crate::support::Project::new();
    for (name, connection) in [
        ("url.yaml", "clickhouse://me:hush@host:8123/shop"),
        ("type.yaml", "{type: connectorx, url: 'clickhouse://me:hush@host:8123/shop'}"),
    ] {
        project.write(
            name,
            &format!(
                "version: 1\nname: p\nconnections:\n  erp: {connection}\n  here: {{type: file, path: .}}\nstreams:\n  - id: orders\n    \
                 source: {{connection: erp, value: shop.orders}}\n    target: {{connection: here, value: orders.csv}}\n    \
                 load: {{mode: replace}}\n"
            ),
        );
        let ran = project.dxt(&["run", name]);
        assert_ne!(ran.code, 0, "{}", ran.out);
        assert!(ran.err.contains("this dxt was built without its driver for ClickHouse"), "{}", ran.err);
        assert!(ran.err.contains("cargo build --release --features clickhouse"), "{}", ran.err);
        assert!(!ran.err.contains("hush"), "{}", ran.err);
    }
}
