// Package canonical reads JSON text and writes it in one canonical form, so
// that two values are the same value exactly if their texts are the same bytes
// (docs/attribution.md, "Value kinds").
//
// The entry points are Append, which turns one JSON value into its canonical
// text, and Scanner, which walks a record when only some members matter.
// Neither allocates in the long run.
//
// The canonical text has no white space. Its parts:
//
//   - A number is the IEEE double nearest to what was written, as the shortest
//     decimal that reads back as the same double: plainly from 1e-6 up to, not
//     including, 1e16 (every integer up to 2^53 is plain), otherwise as
//     d.ddde-7 or d.ddde16. Negative zero, and what is too small for a double,
//     is 0; what is too large for one is ErrNotFinite.
//   - A string is UTF-8 as it is. Escaped are only the quote, the backslash
//     and the control characters below U+0020: with two characters where JSON
//     has such an escape, else as \u00xx. Escapes of anything else are undone,
//     surrogate pairs joined. A surrogate escape without its other half names
//     a code point that UTF-8 cannot hold: it stays an escape, in lower case,
//     so that no two strings become one. Nothing is normalised.
//   - An object has its members in the order of the bytes of their keys'
//     canonical texts. Of members with the same key the last one stands.
//   - An array keeps its order.
//
// The text of a value is at most four times as long as what was read, and in
// an array or object at most 3.4 times (1e15 becomes 16 digits).
//
// The grammar is that of RFC 8259, to the letter: no NaN, no leading zeros, no
// trailing commas, no byte order mark, no invalid UTF-8.
//
// What a record's members mean is not known here: that is package schemas.
package canonical
