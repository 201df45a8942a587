package attribution

import (
	"fmt"
	"strings"
)

// Kind is the value kind of a primitive, as the registry has it.
type Kind uint8

// The kinds. Unregistered is the kind of a primitive that the registry does
// not name: it takes any value, and its merger is the categorical one.
const (
	Unregistered Kind = iota
	Categorical
	Numeric
	Hash
	Bool
	FreeString
	Array
)

var kindNames = [...]string{"UNREGISTERED", "CATEGORICAL", "NUMERIC", "HASH", "BOOL", "FREE_STRING", "ARRAY"}

// String returns the registry's name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ParseKind returns the kind that the registry calls name.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name && Kind(k) != Unregistered {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("unknown value kind %q, want one of %s", name, strings.Join(kindNames[Unregistered+1:], ", "))
}
