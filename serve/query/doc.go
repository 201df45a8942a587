// Package query answers the questions of the API and of the pages: its types are the
// resources of the API as they stand in its document, its [Reader] makes them of the
// catalogue, the copy of the store and the history. It knows nothing of HTTP.
//
// # How a page gets its data
//
// A page calls the same method of [Reader] that the API's route of the same name
// calls, with the same query type, in the same process:
//
//	overview       Reader.Overview
//	identities     Reader.Identities(IdentityQuery): filters, sort, cursor, counts
//	an identity    Reader.Identity, Reader.Timeline, Reader.History, Reader.Similar
//	why            Reader.Explain
//	a comparison   Reader.Compare
//	values         Reader.Primitives, Reader.Values, Reader.Value
//	suspicions     Reader.Suspicions, Reader.SuspicionTimeline
//	suggestions    Reader.Suggestions
//	search box     Reader.Search
//	freshness      Reader.Freshness, and AsOf in every answer
//
// The fields of the query types have the names of the URL's parameters, so the URL of
// a page is that of the API. An error is a [*Problem]: its Kind says which sentence a
// page shows (building, too small, unknown, ...), and its Detail is fit for people.
// While the catalogue is built lists give catalog-building; an identity by its id
// works already. No method waits for a broker.
//
// What came from attackers (values, ids, addresses) is as it was sent: whoever shows
// it escapes it.
package query
