package handprint.peer;

import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** Takes observations, keyed by identity, into their rows, and says what changed. */
final class Rows extends ContextualProcessor<byte[], Observation, String, Output> {
    static final String STORE = "rows";

    private final Settings settings;
    private KeyValueStore<byte[], byte[]> rows;

    Rows(Settings settings) {
        this.settings = settings;
    }

    @Override
    public void init(ProcessorContext<String, Output> context) {
        super.init(context);
        rows = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], Observation> record) {
        Observation o = record.value();
        Primitive primitive = o.primitive();
        byte[] key = Ids.row(record.key(), primitive);
        byte[] stored = rows.get(key);
        Row row = stored == null ? new Row() : Row.fromBytes(stored, primitive);
        row.take(o.attacker(), new Series.Entry(o.ts(), o.evidence(), o.value()), primitive.kind);

        String identity = Ids.text(record.key());
        Conclusion c = row.conclude(primitive.kind);
        State before = row.state;
        if (c.state() != before) {
            row.state = c.state();
            row.lastChange = c.lastTs();
            context().forward(new Record<>(identity, Output.transition(
                    settings.stateChanged(), eventId(), identity, primitive.name, before, c), record.timestamp(), record.headers()));
        }
        rows.put(key, row.toBytes(primitive));
        double now = context().currentSystemTimeMs() / 1000.0;
        context().forward(new Record<>(identity + '/' + primitive.name,
                Output.row(settings.state(), identity, primitive.name, row, c, now), record.timestamp(), record.headers()));
    }

    /** The same whenever this record is processed again. */
    private String eventId() {
        RecordMetadata at = context().recordMetadata().orElseThrow();
        return at.topic() + '-' + at.partition() + '-' + at.offset();
    }
}
