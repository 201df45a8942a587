package canonical

import "errors"

// Errors of the readers. An error of the grammar is none of these: its text
// says what was found or missed.
var (
	// ErrNotFinite: a number is too large for an IEEE double, anywhere in
	// the value.
	ErrNotFinite = errors.New("number too large for a double")
	// ErrInvalidUTF8: a string or a key is not valid UTF-8.
	ErrInvalidUTF8 = errors.New("invalid UTF-8")
	// ErrTooDeep: arrays and objects are nested deeper than MaxDepth.
	ErrTooDeep = errors.New("nested deeper than 128")
)

// MaxDepth is how deep arrays and objects may be nested in one value: a scalar
// has depth 0, [] has depth 1.
const MaxDepth = 128

var (
	errEnd     = errors.New("unexpected end")
	errValue   = errors.New("no JSON value")
	errLiteral = errors.New("no JSON literal")
	errNumber  = errors.New("malformed number")
	errControl = errors.New("control character in a string")
	errEscape  = errors.New("unknown escape in a string")
	errKey     = errors.New("no object key")
	errColon   = errors.New("no colon after an object key")
	errComma   = errors.New("neither a comma nor the end of an object or array")
	errTrail   = errors.New("more after the value")
)
