-- Which storage classes occur in columns whose type is not declared.
SELECT {classes}
FROM {from}
