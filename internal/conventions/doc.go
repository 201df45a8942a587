// Package conventions holds the rules of the project that a test can keep: the
// order of the packages (imports point down it), the words that comments and
// names do without, and the licences of what the binary is linked from. Rules
// that need judgement stand in CONTRIBUTING.md.
package conventions
