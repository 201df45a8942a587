// Package avro is Avro as far as our records need it: schemas read from their
// JSON, the rules by which a record of one schema is read as another (a Plan,
// made once for a pair and used for each record), and the binary encoding. What
// the fields of a record mean is package schemas', where schemas come from is
// package registry's.
//
// A Plan decodes into slots that the caller keeps, one for each field of the
// schema it reads as, and allocates nothing but for records in records. Fields that the reader does not
// have are skipped whatever their type. Nothing in a record makes it allocate
// more than some times its length, or go deeper than the writer's schema, which is
// bounded when it is parsed; that a record may nest where its schema names
// itself is bounded too.
//
// The rules are those of the specification (Apache Avro 1.12, "Schema
// Resolution"), with one exception: names of records and enums need not agree,
// because it is the topic that says what a record is.
package avro
