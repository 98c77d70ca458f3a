//! The checks of a stream's fields, its upsert keys and its watermark.

use std::collections::HashSet;

use super::check::{Key, Site};
use super::findings::Findings;
use crate::model::{ExtractMode, FieldSpec, LoadMode, Lookback, TypeName, nearest};

pub(super) fn run(site: &Site<'_>, findings: &mut Findings) {
    let (mut ids, mut targets) = (HashSet::new(), HashSet::new());
    for (i, field) in site.stream.fields.iter().enumerate() {
        let at_id = [("field.id", Some(i)), ("field", Some(i))];
        if field.id.is_empty() || field.id.contains('\0') {
            site.report_of(findings, &at_id, "a field's id is empty or has a NUL", "name the field");
        } else if !ids.insert(field.id.as_str()) {
            let hint = "rename one: `{id: other, source: column}` takes one column twice";
            site.report_of(findings, &at_id, format!("duplicate field id {}", field.id), hint);
        } else if !site.field_broken("field.target", i) && !targets.insert(field.target_name()) {
            let message = format!("two fields go into the target column {}", field.target_name());
            let keys = [("field.target", Some(i)), at_id[0], at_id[1]];
            site.report_of(findings, &keys, message, "give one of them another `target:`");
        }
        if !site.field_broken("field.dtype", i) {
            parameters(site, i, field, findings);
        }
        if field.generator.is_some() && field.source.is_some() {
            let keys = [("field.source", Some(i)), ("field", Some(i))];
            let message = format!("field {} has both a source and a generator", field.id);
            site.report_of(findings, &keys, message, "remove one of them");
        }
    }
    upsert_keys(site, findings);
    watermark(site, findings);
}

/// Precision and scale, as the type takes them.
fn parameters(site: &Site<'_>, i: usize, field: &FieldSpec, findings: &mut Findings) {
    let at_precision = [("field.precision", Some(i)), ("field", Some(i))];
    let at_scale = [("field.scale", Some(i)), ("field", Some(i))];
    let id = &field.id;
    match field.dtype {
        Some(TypeName::Decimal) => {
            if field.precision.is_some_and(|p| !(1..=76).contains(&p)) {
                let message = format!("field {id}: the precision of a decimal is from 1 to 76");
                site.report_of(findings, &at_precision, message, "precision counts all digits");
            }
            match (field.precision, field.scale) {
                (_, Some(scale)) if scale < 0 => {
                    let message = format!("field {id}: the scale of a decimal is from 0");
                    site.report_of(findings, &at_scale, message, "write `scale: 0` and a greater precision");
                }
                (Some(precision), Some(scale)) if i16::from(scale) > i16::from(precision) => {
                    let message = format!("field {id}: scale {scale} is greater than precision {precision}");
                    let hint = "precision counts all digits, scale those after the point";
                    site.report_of(findings, &at_scale, message, hint);
                }
                (None, Some(_)) if !site.field_broken("field.precision", i) => {
                    let message = format!("field {id}: scale without precision");
                    site.report_of(findings, &at_scale, message, "add `precision:`, which counts all digits");
                }
                _ => {}
            }
        }
        Some(TypeName::Time | TypeName::Timestamp | TypeName::TimestampTz) => {
            if field.precision.is_some_and(|p| !matches!(p, 0 | 3 | 6 | 9)) {
                let message = format!("field {id}: the precision of a time is 0, 3, 6 or 9");
                let hint = "it counts the digits after the second: 3 for milliseconds, 6 for microseconds";
                site.report_of(findings, &at_precision, message, hint);
            }
            if field.scale.is_some() {
                let message = format!("field {id}: a time has no scale");
                site.report_of(findings, &at_scale, message, "write `precision:` for the digits after the second");
            }
        }
        other => {
            let named = other.map_or("a field without dtype".to_string(), |t| format!("dtype {t}"));
            let hint = "write `dtype: decimal`, or remove it";
            if field.precision.is_some() {
                site.report_of(findings, &at_precision, format!("field {id}: {named} takes no precision"), hint);
            }
            if field.scale.is_some() {
                site.report_of(findings, &at_scale, format!("field {id}: {named} takes no scale"), hint);
            }
        }
    }
}

/// Whether all ids of the fields are known, so that a name that is not among them is wrong.
fn ids_are_known(site: &Site<'_>) -> bool {
    !site.stream.fields.is_empty() && !site.broken("fields")
}

/// Reports a name that is no field's id.
fn unknown_field(site: &Site<'_>, keys: &[Key], what: &str, name: &str, findings: &mut Findings) {
    let fields = &site.stream.fields;
    let ids: Vec<&str> = fields.iter().map(|f| f.id.as_str()).collect();
    let hint = match (fields.iter().find(|f| f.target_name() == name), nearest(name, &ids)) {
        (Some(field), _) => format!("that is the target's name of the field: write {}", field.id),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) => format!("add it to fields, or take one of {}", ids.join(", ")),
    };
    site.report_of(findings, keys, format!("{what} {name} is not a field of the stream"), hint);
}

fn upsert_keys(site: &Site<'_>, findings: &mut Findings) {
    let load = &site.stream.load;
    if site.broken("load.upsert_keys") || site.broken("load.mode") {
        return;
    }
    if load.mode == LoadMode::Upsert && load.upsert_keys.is_empty() {
        let hint = "add `upsert_keys: [id]` with the fields that name a row";
        site.report_of(
            findings,
            &[("load.upsert_keys", None), ("load.mode", None)],
            "load mode upsert needs upsert_keys",
            hint,
        );
    }
    let mut seen = HashSet::new();
    for (i, key) in load.upsert_keys.iter().enumerate() {
        let at = [("load.upsert_keys", Some(i)), ("load.upsert_keys", None)];
        if !seen.insert(key.as_str()) {
            site.report_of(findings, &at, format!("upsert key {key} stands twice"), "remove one of them");
        } else if ids_are_known(site) && !site.stream.fields.iter().any(|f| f.id == *key) {
            unknown_field(site, &at, "upsert key", key, findings);
        }
    }
}

fn watermark(site: &Site<'_>, findings: &mut Findings) {
    let extract = &site.stream.extract;
    let Some(name) = &extract.watermark_field else { return };
    let at = [("extract.watermark_field", None)];
    let Some((i, field)) = site.stream.fields.iter().enumerate().find(|(_, f)| f.id == *name) else {
        if ids_are_known(site) {
            unknown_field(site, &at, "watermark_field", name, findings);
        }
        return;
    };
    if field.generator.is_some() && extract.mode == ExtractMode::Incremental {
        let message = format!("watermark_field {name} is made by dxt, so the source cannot be filtered by it");
        site.report_of(findings, &at, message, "take a field of the source");
        return;
    }
    let Some(dtype) = field.dtype.filter(|_| !site.field_broken("field.dtype", i)) else {
        return;
    };
    use TypeName::{Array, Binary, Bool, Date, Json, Object, String, Time, Timestamp, TimestampTz, Uuid};
    if matches!(dtype, Bool | Binary | Json | Array | Object) {
        let message = format!("watermark_field {name} is a {dtype}, which has no order to follow");
        site.report_of(findings, &at, message, "take a number, a date, a timestamp or a string");
        return;
    }
    let hint = match (extract.lookback, dtype) {
        (None, _) => return,
        (Some(_), String) => "remove lookback: nothing can be taken from a text",
        (Some(_), Uuid) => "remove lookback: nothing can be taken from a uuid",
        (Some(Lookback::Duration(_)), Date | Time | Timestamp | TimestampTz) => return,
        (Some(Lookback::Duration(_)), _) => "write a whole number",
        (Some(Lookback::Count(_)), Date | Time | Timestamp | TimestampTz) => "write a duration, such as 1h or 7d",
        (Some(Lookback::Count(_)), _) => return,
    };
    let message = format!("lookback does not fit watermark_field {name}, which is a {dtype}");
    site.report_of(findings, &[("extract.lookback", None), at[0]], message, hint);
}
