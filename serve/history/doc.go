// Package history keeps what happened, for timelines and for live clients that come
// back: transitions, changes of a value, suspicions and identity events, by
// identity and by arrival, in a Pebble of its own.
//
// An entry is found again by the place of the record that it was made from, so a
// record that is read twice is kept once. Entries go by age or when they take too
// many bytes, the oldest arrivals first; [History.Begins] says from when on all are
// there. Beside them it has the last record that others are told of each identity
// ([History.Publish]). It knows nothing of Kafka or HTTP.
package history
