package handprint.peer;

/** What values a primitive has, and so by which merger its series is concluded. */
enum Kind {
    CATEGORICAL, NUMERIC, HASH, BOOL, ARRAY, FREE_STRING, UNREGISTERED;

    /** Whether a value, as canonical JSON, fits. */
    boolean fits(String value) {
        char c = value.charAt(0);
        return switch (this) {
            case NUMERIC -> c == 't' || c == 'f' || c == 'n' || c == '-' || Character.isDigit(c);
            case HASH -> c == 'n' || c == '"' && value.length() > 2;
            case BOOL -> c == 't' || c == 'f' || c == 'n';
            case ARRAY -> c == '[' || c == 'n';
            case CATEGORICAL, FREE_STRING -> c == '"' || c == 'n';
            case UNREGISTERED -> true;
        };
    }
}
