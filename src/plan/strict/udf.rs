//! The strict cast as a function of plans: EXPLAIN shows `strict_cast<decimal(12,2)>(amount)`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{cast_strict, type_name};

/// One cast: what to, and whose value it is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct StrictCast {
    /// With the type, as the physical plan shows nothing else of it.
    name: String,
    to: DataType,
    field: String,
    signature: Signature,
}

/// `expr` cast to `to`, with errors that name `field`.
pub fn strict_cast(expr: Expr, to: DataType, field: &str) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    let name = format!("strict_cast<{}>", type_name(&to));
    ScalarUDF::new_from_impl(StrictCast { name, to, field: field.to_string(), signature }).call(vec![expr])
}

impl ScalarUDFImpl for StrictCast {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        // Strict: NULL comes out only where NULL went in.
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let cast = |array| cast_strict(array, &self.to, &self.field).map_err(|e| DataFusionError::External(e.into()));
        match &args.args[..] {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(cast(array)?)),
            [ColumnarValue::Scalar(value)] => {
                let array = cast(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            _ => Err(DataFusionError::Internal("strict_cast takes one argument".into())),
        }
    }
}
