// Package audit is the independent check: is what an application published what
// its input means? It reads the committed input from the beginning, works every row and
// every transition out anew, and compares that with the output topics, the
// changelog and, if it is given them, the stores of stopped instances.
//
// What is expected comes from package attribution alone: series, mergers and
// the rules of rows and ids. Nothing of how tasks, commands and moves work is
// used, and that is the worth of it. Package engine is used to read the
// records of the changelog, package schemas to read those of the topics; a
// fault of a decoder that both sides share is not found here.
//
// [New] gives an [Auditor], whose Advance reads what is new since the last
// time; [Run] is one Advance from the beginning. docs/audit.md says what a
// report shows and what it cannot.
//
// # What is determined
//
// A row at rest is determined by the input, with two exceptions that depend on
// how tasks took turns. Whose an attacker is that no event lists and whose
// stub was merged depends on when its first observation was taken: the link in
// the changelog says so, and must be a possible one. And a
// series of more than 32 entries that came through several partitions may have
// lost other entries than ours: such a row is compared with itself only, and
// counted as Loose.
//
// The transitions of a row are determined, one by one, as long as what was new
// for the row came one way (from one partition to the home of the attackers)
// and no identity event touched its identity: they are compared exactly. Of
// any other row they must form a chain from where it was to where it is, each
// id once and each made of an input record that is there.
package audit
