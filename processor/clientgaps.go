package processor

// What this package does only because of the Kafka client (franz-go v1.22.2) or
// because of the simulated brokers of the tests (kfake). When the client is
// upgraded, look at each: the test says whether it is still needed, as it fails
// without the remedy where the client has the fault.
//
//	symptom                                   remedy                  test                                      can go when
//	a new topic's sequence numbers are not    settleTopics            TestOutcomes (outcome_test.go), the runs  the client publishes a topic before it
//	reset with the epoch, or a commit with    (batch.go)              of make chaos                             sends its records (storePartitionsUpdate)
//	nothing else is aborted
//	the client joins as another member after  ownership.member,       TestAnotherMemberBeginsAnew,              handleJoinResp reports the loss of the
//	it was thrown out and says nothing of it  Assignor.missed         TestMissedGenerationBeginsAnew            first member
//	a partition is no longer fetched after    watch.starvedFor,           TestStarvedPartition                      a fetch answer with an error above the
//	an answer that fences it under an error   requestNewSession       (watch_test.go)                           partitions keeps them
//	of the whole answer
//	a produce right after the end of a        settleMarkers           TestATransactionWaitsForTheMarkersOf-     brokers hold no produce back for 20 ms
//	transaction is held back for 20 ms        (markers.go)            TheLast; only latency depends on it       (a fault of the brokers, not the client)
