// Package catalog is the part of the read side that answers lists, counts,
// values and searches: every identity, row, attacker, address and suspicion as
// small fixed-size records in memory, in tables that a query scans.
//
// It knows nothing of Kafka, HTTP or Pebble. A follower feeds it through a
// [Writer], one record of the changelog or of an event topic at a time; queries
// take the read lock for 250,000 places at most before they give it back. What a
// record is too large to hold (values over 256 bytes, attackers of an identity,
// series) stays in the copy of the store, which knows it by the same ids.
//
// Every put says what is so from now on, and may be repeated: a record that is
// applied twice changes nothing. The result follows from the last record of each
// key, whatever the order between keys, as partitions are followed apart from
// each other.
//
// The memory is bounded by the caller: [Catalog.Bytes] says what the tables take,
// and a catalogue that outgrows its bound is refused as a whole. It never holds a
// part of the data silently.
package catalog
