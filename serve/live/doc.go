// Package live sends what happens to clients as server-sent events, from one ring of
// the newest events, whatever the number of clients.
//
// A client is a place in the ring and a filter: it has no queue. One that is slow
// falls off the ring and is told how many events it missed; one that does not read is
// cut off; a flood is sent as summaries. A client that comes back names the last event
// that it has seen, and is given what came since from the history: at least once.
package live
