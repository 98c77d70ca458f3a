//! A stream's fields over its source: the select list of the extract, and the schema of the buffer.

use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};

use super::strict::{check_cast, strict_cast};
use super::{RunInfo, rewrite};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    DxtField, DxtSchema, DxtType, FieldSource, FieldSpec, Generator, Params, Stream, TypeName, UTC, nearest,
};

/// One field with where it comes from and what it becomes.
#[derive(Debug, Clone)]
pub struct PlannedField {
    /// The value as the source gives it, before any cast.
    pub source: Expr,
    /// The type of `source`.
    pub source_type: DxtType,
    /// The field in the buffer.
    pub field: DxtField,
    /// What the pipeline says of it.
    pub spec: FieldSpec,
}

impl PlannedField {
    /// The select item: the value cast strictly to the field's type, under the field's id.
    pub fn select(&self) -> Expr {
        let to = self.field.dtype.to_arrow();
        let value = match self.source_type.to_arrow() == to {
            true => self.source.clone(),
            false => strict_cast(self.source.clone(), to, &self.field.name),
        };
        value.alias(&self.field.name)
    }
}

/// Resolves the fields of `stream` over a source with `columns`; `schema` is the same in the plan.
///
/// # Errors
/// Schema: a column is missing. Configuration: an expression does not parse, a type lacks its parameters.
pub fn resolve(
    stream: &Stream,
    columns: &DxtSchema,
    schema: &DFSchema,
    state: &SessionState,
    run: &RunInfo,
) -> Result<Vec<PlannedField>> {
    let all: Vec<FieldSpec>;
    let specs = if stream.fields.is_empty() {
        all = columns.fields.iter().map(|f| FieldSpec::new(&f.name)).collect();
        &all
    } else {
        &stream.fields
    };
    specs
        .iter()
        .map(|spec| {
            let planned = resolve_one(spec, stream, columns, schema, state, run);
            let planned = planned.map_err(|e| e.context(format!("field {}", spec.id)))?;
            check_cast(&planned.source_type.to_arrow(), &planned.field.dtype.to_arrow(), &spec.id)?;
            Ok(planned)
        })
        .collect()
}

fn resolve_one(
    spec: &FieldSpec,
    stream: &Stream,
    columns: &DxtSchema,
    schema: &DFSchema,
    state: &SessionState,
    run: &RunInfo,
) -> Result<PlannedField> {
    let (source, origin) = match (&spec.generator, &spec.source) {
        (Some(generator), _) => generated(*generator, stream, run, state)?,
        (None, Some(FieldSource::Expression(sql))) => expression(sql, schema, state, &run.params)?,
        (None, Some(FieldSource::Column(name))) => column(name, columns, schema)?,
        (None, None) => column(&spec.id, columns, schema)?,
    };
    let dtype = declared_type(spec, &origin.dtype)?;
    let mut field = DxtField { name: spec.id.clone(), ..origin.clone() };
    // A native type describes the column as it was, unless the pipeline asks for another type. A column that the
    // source itself read as text at the pipeline's wish keeps it: the text still fits such a column.
    if dtype != origin.dtype {
        field.native = None;
    }
    field.dtype = dtype;
    // A column that the source generates may be left out of a load as long as nobody has asked for it.
    field.generated &= stream.fields.is_empty();
    field.has_default = false;
    if let Some(nullable) = spec.nullable {
        field.nullable = nullable;
    }
    Ok(PlannedField { source, source_type: origin.dtype, field, spec: spec.clone() })
}

fn column(name: &str, columns: &DxtSchema, schema: &DFSchema) -> Result<(Expr, DxtField)> {
    let Some(index) = columns.fields.iter().position(|f| f.name == name) else {
        let names = columns.names();
        let error = Error::new(ErrorKind::Schema, format!("the source has no column {name}"));
        return Err(error.with_hint(match nearest(name, &names) {
            Some(near) => format!("did you mean {near}? An expression is written `source: {{expression: …}}`"),
            None => format!("its columns: {}", names.join(", ")),
        }));
    };
    if columns.fields[index + 1..].iter().any(|f| f.name == name) {
        let error = Error::new(ErrorKind::Schema, format!("two columns of the source are called {name}"));
        return Err(error.with_hint("give one of them another name by AS in the source's SQL"));
    }
    let (qualifier, field) = schema.qualified_field(index);
    Ok((Expr::Column(Column::new(qualifier.cloned(), field.name())), columns.fields[index].clone()))
}

fn expression(sql: &str, schema: &DFSchema, state: &SessionState, params: &Params) -> Result<(Expr, DxtField)> {
    let wrong = |e| Error::from(e).context(format!("expression `{sql}`"));
    let bound = super::params::expr(state, sql, schema, params);
    let expr = bound.map_err(|e| e.context(format!("expression `{sql}`")))?;
    let expr = rewrite::in_expr(expr, schema).map_err(wrong)?;
    let (_, field) = expr.to_field(schema).map_err(wrong)?;
    let dtype = DxtType::from_arrow(field.data_type())?;
    // The plan's type, which may be a layout that DXT types do not use, is brought to theirs here.
    let arrow = dtype.to_arrow();
    let expr = if *field.data_type() == arrow { expr } else { strict_cast(expr, arrow, field.name()) };
    Ok((expr, DxtField::new("", dtype).nullable(field.is_nullable())))
}

fn generated(generator: Generator, stream: &Stream, run: &RunInfo, state: &SessionState) -> Result<(Expr, DxtField)> {
    let micros = run.started_at.timestamp_micros();
    let (expr, dtype) = match generator {
        Generator::CurrentTimestamp => (
            lit(ScalarValue::TimestampMicrosecond(Some(micros), Some(UTC.into()))),
            DxtType::TimestampTz { precision: 6 },
        ),
        Generator::CurrentDate => {
            (lit(ScalarValue::Date32(Some(micros.div_euclid(86_400_000_000) as i32))), DxtType::Date)
        }
        Generator::Uuid => {
            let (expr, field) = expression("uuid()", &DFSchema::empty(), state, &run.params)?;
            (expr, field.dtype)
        }
        Generator::RunId => (lit(run.run_id.clone()), DxtType::String),
        Generator::Pipeline => (lit(run.pipeline.clone()), DxtType::String),
        Generator::Stream => (lit(stream.id.clone()), DxtType::String),
    };
    Ok((expr, DxtField::new("", dtype).nullable(false)))
}

/// The field's type: the declared one, with parameters that are not declared taken from the source's.
fn declared_type(spec: &FieldSpec, origin: &DxtType) -> Result<DxtType> {
    let Some(name) = spec.dtype else { return Ok(origin.clone()) };
    let missing = |what: &str| {
        Error::new(ErrorKind::Configuration, format!("dtype {name} needs {what}, as the source has {origin}"))
            .with_hint("write them in the field: {id: …, dtype: decimal, precision: 12, scale: 2}")
    };
    let digits = |from: Option<u8>| spec.precision.or(from).unwrap_or(6);
    Ok(match name {
        TypeName::Decimal => match (spec.precision, spec.scale, origin) {
            (Some(precision), scale, _) => DxtType::Decimal { precision, scale: scale.unwrap_or(0) },
            (None, None, DxtType::Decimal { .. }) => origin.clone(),
            _ => return Err(missing("precision and scale")),
        },
        TypeName::Time => DxtType::Time { precision: digits(seconds(origin)) },
        TypeName::Timestamp => DxtType::Timestamp { precision: digits(seconds(origin)) },
        TypeName::TimestampTz => DxtType::TimestampTz { precision: digits(seconds(origin)) },
        TypeName::Array | TypeName::Object if origin.name() == name => origin.clone(),
        TypeName::Array | TypeName::Object => return Err(missing("a source of that type")),
        plain => plain_type(plain),
    })
}

/// The fractional digits of a time type.
fn seconds(dtype: &DxtType) -> Option<u8> {
    match dtype {
        DxtType::Time { precision } | DxtType::Timestamp { precision } | DxtType::TimestampTz { precision } => {
            Some(*precision)
        }
        _ => None,
    }
}

/// A type that has no parameters.
pub(super) fn plain_type(name: TypeName) -> DxtType {
    match name {
        TypeName::Int8 => DxtType::Int8,
        TypeName::Int16 => DxtType::Int16,
        TypeName::Int32 => DxtType::Int32,
        TypeName::Int64 => DxtType::Int64,
        TypeName::Uint8 => DxtType::Uint8,
        TypeName::Uint16 => DxtType::Uint16,
        TypeName::Uint32 => DxtType::Uint32,
        TypeName::Uint64 => DxtType::Uint64,
        TypeName::Float32 => DxtType::Float32,
        TypeName::Float64 => DxtType::Float64,
        TypeName::Bool => DxtType::Bool,
        TypeName::Date => DxtType::Date,
        TypeName::Binary => DxtType::Binary,
        TypeName::Uuid => DxtType::Uuid,
        TypeName::Json => DxtType::Json,
        // The others have parameters.
        TypeName::String
        | TypeName::Decimal
        | TypeName::Time
        | TypeName::Timestamp
        | TypeName::TimestampTz
        | TypeName::Array
        | TypeName::Object => DxtType::String,
    }
}

/// The types that the pipeline declares for columns, for sources whose own types are loose.
pub fn declared(stream: &Stream) -> Vec<(String, DxtType)> {
    let own = |spec: &FieldSpec| {
        let name = match &spec.source {
            None => spec.id.clone(),
            Some(FieldSource::Column(name)) => name.clone(),
            Some(FieldSource::Expression(_)) => return None,
        };
        // Without all parameters the source's own type is needed first.
        let known = match spec.dtype? {
            TypeName::Decimal => spec.precision.is_some(),
            TypeName::Array | TypeName::Object => false,
            _ => true,
        };
        let placeholder = DxtType::Decimal { precision: 38, scale: 0 };
        (spec.generator.is_none() && known).then(|| declared_type(spec, &placeholder).ok().map(|t| (name, t)))?
    };
    stream.fields.iter().filter_map(own).collect()
}
