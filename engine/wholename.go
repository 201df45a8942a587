package engine

import (
	"fmt"
	"slices"

	"handprint/attribution"
)

// maxNamesRead bounds, in bytes, the rows that are read to find whole names: an attacker
// can make up as many names as he likes that begin alike.
const maxNamesRead = 4 << 20

// WholePrimitives returns the names of the primitives that suspicions name as names, by
// these. It has names that were cut and are of a row of the identity, no others. However
// many are asked for, at most 4 MiB of rows are read.
func WholePrimitives(from Reader, identity string, names []string) (map[string]string, error) {
	wanted, begins := make(map[string]bool), []string(nil)
	for _, name := range names {
		if begin, cut := attribution.BeginOfShort(name); cut && !wanted[name] {
			wanted[name] = true
			begins = append(begins, begin)
		}
	}
	slices.Sort(begins)
	begins = slices.Compact(begins)
	whole, bytes := make(map[string]string), 0
	for i, begin := range begins {
		most := bytes + (maxNamesRead-bytes)/(len(begins)-i) // names that begin alike leave the others their part
		err := scan(from, append(idKey(nil, kindRow, []byte(identity)), begin...), nil, func(rest, row []byte) error {
			if bytes += len(begin) + len(rest) + len(row); bytes > most {
				return errStop
			}
			if len(begin)+len(rest)-1 <= attribution.MaxPrimitiveName {
				return nil // it is never cut
			}
			n := begin + string(rest[:len(rest)-1])
			if short := attribution.ShortPrimitive(n); wanted[short] {
				whole[short] = n
			}
			if len(whole) == len(wanted) {
				return errStop
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("looking for primitives of identity %s: %w", identity, err)
		}
	}
	return whole, nil
}
