// Package wrapped finds a sensor's events in what shippers make of its log.
//
// A line that is one event needs nothing of this: the adapters look here only
// for the others. There are three ways in which an event is not a line of its
// own, and they may be combined:
//
//   - several on a line, an array of them, one over several lines
//     ([Reader.Line]);
//   - text before it: syslog's header, that of a container's log
//     ([Reader.Line]);
//   - another object around it, in which it is an object or a text
//     ([Reader.Object]).
//
// What is held of an event that is not whole yet is bounded.
package wrapped
