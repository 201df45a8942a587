package engine

import (
	"fmt"

	"handprint/attribution"
)

// maxNamesRead bounds, in bytes, the rows that are read to find a whole name: an attacker
// can make up as many names as he likes that begin alike.
const maxNamesRead = 4 << 20

// WholePrimitive returns the name of the primitive that a suspicion names as name. It is
// another only if name is one that was cut and the identity has its row.
func WholePrimitive(from Reader, identity, name string) (string, error) {
	begin, cut := attribution.BeginOfShort(name)
	if !cut {
		return name, nil
	}
	whole, bytes := name, 0
	err := scan(from, append(idKey(nil, kindRow, []byte(identity)), begin...), nil, func(rest, row []byte) error {
		if bytes += len(begin) + len(rest) + len(row); bytes > maxNamesRead {
			return errStop
		}
		if len(begin)+len(rest)-1 <= attribution.MaxPrimitiveName {
			return nil // it is never cut
		}
		if n := begin + string(rest[:len(rest)-1]); attribution.ShortPrimitive(n) == name {
			whole = n
			return errStop
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("looking for primitive %s of identity %s: %w", name, identity, err)
	}
	return whole, nil
}
