package handprint.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;

/** Runs the merge vectors: {@code Vectors testdata/vectors/merge.jsonl}. */
public final class Vectors {
    private Vectors() {
    }

    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        int passed = 0;
        int failed = 0;
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            JsonNode v = mapper.readTree(line);
            Kind kind = v.get("kind").isNull() ? Kind.UNREGISTERED : Kind.valueOf(v.get("kind").asText());
            String problem = check(v, kind);
            if (problem == null) {
                passed++;
            } else {
                failed++;
                System.out.println(problem + ": " + line);
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    private static String check(JsonNode v, Kind kind) throws Exception {
        JsonNode want = v.get("expect");
        Primitive primitive = Primitive.of("vector", kind);
        Row row = new Row();
        Conclusion c = new Conclusion(State.UNKNOWN, "null", 0, 0, 0);
        int i = 0;
        for (JsonNode e : v.get("series")) {
            var parser = e.get("value").traverse();
            parser.nextToken();
            row.take(1, new Series.Entry(e.get("ts").asDouble(), i++, Canonical.read(parser)), kind);
            c = row.conclude(kind);
            row.state = c.state();
            row = Row.fromBytes(row.toBytes(primitive), primitive); // as the store does between two
        }
        var parser = want.get("current_value").traverse();
        parser.nextToken();
        String value = Canonical.read(parser);
        boolean same = kind == Kind.NUMERIC && !value.equals("null")
                ? near(Double.parseDouble(value), Double.parseDouble(c.value())) : value.equals(c.value());
        if (!same) {
            return "value " + c.value();
        }
        if (!c.state().text.equals(want.get("state").asText())) {
            return "state " + c.state();
        }
        if (!near(want.get("confidence").asDouble(), c.confidence())) {
            return "confidence " + c.confidence();
        }
        if (c.count() != want.get("observation_count").asLong() || c.lastTs() != want.get("last_observation_ts").asDouble()) {
            return "count " + c.count() + ", ts " + c.lastTs();
        }
        return null;
    }

    private static boolean near(double a, double b) {
        return Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
    }
}
