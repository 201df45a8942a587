package handprint.peer;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Reads observations, and changes the key from the attacker to the identity. */
final class Identify extends ContextualProcessor<String, byte[], byte[], Identify.Parsed> {
    /** An observation, or what could not be read as one. */
    record Parsed(Observation observation, byte[] refused) {
    }

    private static final int STUBS = 1 << 14;

    private KeyValueStore<String, byte[]> links;
    private final Map<String, byte[]> stubs = new LinkedHashMap<>(STUBS, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, byte[]> eldest) {
            return size() > STUBS;
        }
    };

    @Override
    public void init(ProcessorContext<byte[], Parsed> context) {
        super.init(context);
        links = context.getStateStore(Links.STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        byte[] identity = links.get(record.key());
        if (identity == null) {
            identity = stubs.computeIfAbsent(record.key(), Ids::stub);
        }
        Parsed parsed;
        try {
            parsed = new Parsed(Observation.parse(record.value()), null);
        } catch (Observation.BadRecord e) {
            record.headers().add("reason", e.getMessage().getBytes(StandardCharsets.UTF_8));
            parsed = new Parsed(null, record.value());
        }
        context().forward(record.withKey(identity).withValue(parsed));
    }
}
