//go:build nextformat

package engine

// RecordVersion is that of a release to come: the layout is the same, only the
// number is higher, so that an upgrade from this release can be tested.
const RecordVersion = 2
