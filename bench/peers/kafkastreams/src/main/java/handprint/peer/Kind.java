package handprint.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.HashMap;
import java.util.Map;

/** What values a primitive has, and so by which merger its series is concluded. */
enum Kind {
    CATEGORICAL, NUMERIC, HASH, BOOL, ARRAY, FREE_STRING, UNREGISTERED;

    private static final Map<String, Kind> REGISTRY = new HashMap<>();

    static {
        try (InputStream in = Kind.class.getResourceAsStream("/primitives.json")) {
            for (JsonNode p : new ObjectMapper().readTree(in).get("primitives")) {
                REGISTRY.put(p.get("name").asText(), valueOf(p.get("kind").asText()));
            }
        } catch (IOException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** The kind of a primitive, UNREGISTERED if nobody knows it. */
    static Kind of(String primitive) {
        return REGISTRY.getOrDefault(primitive, UNREGISTERED);
    }

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
