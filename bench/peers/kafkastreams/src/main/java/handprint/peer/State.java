package handprint.peer;

/** What is concluded about a row. */
enum State {
    UNKNOWN("unknown"), STABLE("stable"), DRIFTING("drifting"), CONFLICTED("conflicted"), MULTI_ACTOR("multi_actor");

    private static final State[] ALL = values();
    final String text;

    State(String text) {
        this.text = text;
    }

    static State of(int ordinal) {
        return ALL[ordinal];
    }
}
