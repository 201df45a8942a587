package handprint.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/** A record for one of the topics that the application writes. */
record Output(String topic, byte[] value) {
    private static final JsonFactory JSON = new JsonFactory();

    private interface Members {
        void write(JsonGenerator g) throws IOException;
    }

    private static byte[] json(Members members) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(320);
        try (JsonGenerator g = JSON.createGenerator(out)) {
            g.writeStartObject();
            members.write(g);
            g.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    private static void conclusion(JsonGenerator g, Conclusion c) throws IOException {
        g.writeFieldName("current_value");
        g.writeRawValue(c.value());
        g.writeNumberField("confidence", c.confidence());
        g.writeNumberField("observation_count", c.count());
    }

    static Output transition(String topic, String id, String identity, String primitive, State before, Conclusion c) {
        return new Output(topic, json(g -> {
            g.writeStringField("event_id", id);
            g.writeStringField("identity_uuid", identity);
            g.writeStringField("primitive", primitive);
            g.writeStringField("old_state", before == null ? null : before.text);
            g.writeStringField("new_state", c.state().text);
            conclusion(g, c);
            g.writeNumberField("ts", c.lastTs());
        }));
    }

    static Output row(String topic, String identity, String primitive, Row row, Conclusion c, double now) {
        return new Output(topic, json(g -> {
            g.writeStringField("identity_uuid", identity);
            g.writeStringField("primitive", primitive);
            g.writeStringField("state", c.state().text);
            conclusion(g, c);
            g.writeNumberField("last_change_ts", row.lastChange);
            g.writeNumberField("last_observation_ts", c.lastTs());
            g.writeNumberField("schema_version", 1);
            g.writeNumberField("updated_at", now);
        }));
    }
}
