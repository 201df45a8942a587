// Package broker brings a Kafka cluster within reach: an embedded one for the
// demo, for replays and for tests, and the administration of topics on any.
//
// [Embedded] runs a broker inside the process. Clients reach it over loopback
// like any other, so nothing else in handprint knows the difference. [Ensure]
// creates the topics that are missing, [Check] says what is wrong with existing
// topics, [Reach] finds out in bounded time whether a cluster answers at all.
//
// Which topics there are, and with which settings, is not decided here: callers
// bring [TopicSpec]s.
package broker
