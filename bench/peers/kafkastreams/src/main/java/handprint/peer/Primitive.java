package handprint.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A primitive: its kind, and the numbers by which the store knows it and its registered values. */
final class Primitive {
    private static final Map<String, Primitive> BY_NAME = new HashMap<>();
    private static final List<Primitive> BY_NUMBER = new ArrayList<>();

    static {
        try (InputStream in = Primitive.class.getResourceAsStream("/primitives.json")) {
            for (JsonNode p : new ObjectMapper().readTree(in).get("primitives")) {
                List<String> values = new ArrayList<>(List.of("null", "true", "false"));
                for (JsonNode v : p.path("values")) {
                    StringBuilder text = new StringBuilder();
                    Canonical.quote(v.asText(), text);
                    values.add(text.toString());
                }
                Primitive made = new Primitive(p.get("name").asText(), BY_NUMBER.size(), Kind.valueOf(p.get("kind").asText()), values);
                BY_NAME.put(made.name, made);
                BY_NUMBER.add(made);
            }
        } catch (IOException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    final String name;
    final int number; // -1: it is not registered
    final Kind kind;
    private final String[] values;
    private final Map<String, Integer> numbers = new HashMap<>();

    private Primitive(String name, int number, Kind kind, List<String> values) {
        this.name = name;
        this.number = number;
        this.kind = kind;
        this.values = values.toArray(new String[0]);
        for (int i = 0; i < this.values.length; i++) {
            numbers.put(this.values[i], i);
        }
    }

    /** The primitive of a name; one that nobody knows is UNREGISTERED. */
    static Primitive of(String name) {
        Primitive known = BY_NAME.get(name);
        return known != null ? known : of(name, Kind.UNREGISTERED);
    }

    static Primitive of(int number) {
        return BY_NUMBER.get(number);
    }

    /** A primitive that the registry does not have, of a kind. */
    static Primitive of(String name, Kind kind) {
        return new Primitive(name, -1, kind, List.of());
    }

    /** How many values have numbers. */
    int values() {
        return values.length;
    }

    /** The number of a value, as canonical JSON; -1 if it has none. */
    int number(String value) {
        return numbers.getOrDefault(value, -1);
    }

    String value(int number) {
        return values[number];
    }
}
