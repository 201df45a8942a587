// Package follow keeps the read side up to date: it follows the committed changelog
// of all partitions into a copy of the store and the catalogue, and the event topics
// into the history and the ring of live events. The topic of identities is kept beside
// the history as it is told to others; it may be absent.
//
// The copy is kept by the code that keeps standby copies ([processor.Copies]), by the
// same rules. No consumer group is joined, so any number of read sides follow one
// application, and none is noticed by it. A query never waits for what is done here:
// it reads the copy, the catalogue and the history as they are, and is told how far
// they have come ([Follower.Freshness]).
package follow
