-- What a value's text depends on, pinned; and no row may vanish or be misread in silence.
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET "TimeZone" = 'UTC';
SET "DateStyle" = 'ISO, MDY';
SET "IntervalStyle" = 'postgres';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET row_security = off;
