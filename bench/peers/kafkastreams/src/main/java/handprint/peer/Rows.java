package handprint.peer;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** Takes observations, keyed by identity, into their rows, and says what changed. */
final class Rows extends ContextualProcessor<String, byte[], String, Output> {
    static final String STORE = "rows";

    private final Settings settings;
    private KeyValueStore<String, byte[]> rows;

    Rows(Settings settings) {
        this.settings = settings;
    }

    @Override
    public void init(ProcessorContext<String, Output> context) {
        super.init(context);
        rows = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Observation o;
        try {
            o = Observation.parse(record.value());
        } catch (Observation.BadRecord e) {
            record.headers().add("reason", e.getMessage().getBytes(StandardCharsets.UTF_8));
            context().forward(record.withValue(new Output(settings.deadLetter(), record.value())));
            return;
        }
        String identity = record.key();
        String key = identity + '/' + o.primitive();
        Kind kind = Kind.of(o.primitive());
        byte[] stored = rows.get(key);
        Row row = stored == null ? new Row() : Row.fromBytes(stored);
        row.take(Ids.hash(o.attacker()), new Series.Entry(o.ts(), Ids.hash(o.evidence()), o.value()), kind);

        Conclusion c = row.conclude(kind);
        State before = row.state;
        if (c.state() != before) {
            row.state = c.state();
            row.lastChange = c.lastTs();
            context().forward(record.withValue(Output.transition(
                    settings.stateChanged(), eventId(), identity, o.primitive(), before, c)));
        }
        rows.put(key, row.toBytes());
        double now = context().currentSystemTimeMs() / 1000.0;
        context().forward(record.withKey(key).withValue(
                Output.row(settings.state(), identity, o.primitive(), row, c, now)));
    }

    /** The same whenever this record is processed again. */
    private String eventId() {
        RecordMetadata at = context().recordMetadata().orElseThrow();
        return at.topic() + '-' + at.partition() + '-' + at.offset();
    }
}
