//go:build !nextformat

package engine

// RecordVersion is the version of rows and contributions that this program
// writes unless [Config.RecordVersion] says otherwise. It reads all up to it.
//
// The build tag nextformat gives a program of the release to come, for tests of
// an upgrade: see recordversion_next.go.
const RecordVersion = 1
