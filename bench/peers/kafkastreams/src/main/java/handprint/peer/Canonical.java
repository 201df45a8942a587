package handprint.peer;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;

/** Canonical JSON: two values are equal if and only if their texts are. */
final class Canonical {
    private Canonical() {
    }

    /** Reads the value at which the parser stands. */
    static String read(JsonParser p) throws IOException, Observation.BadRecord {
        StringBuilder out = new StringBuilder(32);
        write(p, out);
        return out.toString();
    }

    private static void write(JsonParser p, StringBuilder out) throws IOException, Observation.BadRecord {
        switch (p.currentToken()) {
            case VALUE_STRING -> quote(p.getText(), out);
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> number(p.getDoubleValue(), out);
            case VALUE_TRUE -> out.append("true");
            case VALUE_FALSE -> out.append("false");
            case VALUE_NULL -> out.append("null");
            case START_ARRAY -> {
                out.append('[');
                for (boolean first = true; p.nextToken() != JsonToken.END_ARRAY; first = false) {
                    if (!first) {
                        out.append(',');
                    }
                    write(p, out);
                }
                out.append(']');
            }
            case START_OBJECT -> {
                Map<String, String> members = new TreeMap<>();
                while (p.nextToken() == JsonToken.FIELD_NAME) {
                    String name = p.currentName();
                    p.nextToken();
                    members.put(name, read(p));
                }
                char separator = '{';
                for (Map.Entry<String, String> m : members.entrySet()) {
                    out.append(separator);
                    quote(m.getKey(), out);
                    out.append(':').append(m.getValue());
                    separator = ',';
                }
                out.append(members.isEmpty() ? "{}" : "}");
            }
            default -> throw new Observation.BadRecord("value ends early");
        }
    }

    static void quote(String text, StringBuilder out) {
        out.append('"');
        JsonStringEncoder.getInstance().quoteAsString(text, out);
        out.append('"');
    }

    private static void number(double d, StringBuilder out) throws Observation.BadRecord {
        if (Double.isInfinite(d)) {
            throw new Observation.BadRecord("a number is not finite");
        }
        out.append(number(d));
    }

    static String number(double d) {
        if (d == Math.rint(d) && Math.abs(d) < 1e15) {
            return Long.toString((long) d);
        }
        return Double.toString(d);
    }
}
