package handprint.peer;

/** What a merger answers. The value is canonical JSON. */
record Conclusion(State state, String value, double confidence, long count, double lastTs) {
}
