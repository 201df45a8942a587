package handprint.peer;

import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The application: observations get the identity of their attacker, go to its
 * partition, and into its rows.
 *
 * <pre>
 * identity.events ---> links (global store)
 *                        |
 * attacker.observation -> identify -> repartition -> rows -> state_changed, state, dead letters
 * </pre>
 */
public final class App {
    private App() {
    }

    static Topology topology(Settings settings) {
        Serde<String> string = Serdes.String();
        Serde<byte[]> bytes = Serdes.ByteArray();
        StreamsBuilder builder = new StreamsBuilder();
        builder.addGlobalStore(
                Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(Links.STORE), string, string).withLoggingDisabled(),
                settings.identityEvents(), Consumed.with(string, string), Links::new);
        builder.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(Rows.STORE), string, bytes).withCachingEnabled());
        Serde<Output> output = Serdes.serdeFrom((topic, o) -> o.value(), (topic, b) -> new Output(topic, b));
        builder.stream(settings.observations(), Consumed.with(string, bytes))
                .process(Identify::new, Named.as("identify"))
                .repartition(Repartitioned.with(string, bytes).withName("by-identity"))
                .process(() -> new Rows(settings), Named.as("conclude"), Rows.STORE)
                .to((key, o, context) -> o.topic(), Produced.with(string, output));
        return builder.build(settings.streams());
    }

    /** Changes the key from the attacker to the identity. */
    private static final class Identify extends ContextualProcessor<String, byte[], String, byte[]> {
        private KeyValueStore<String, String> links;

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            super.init(context);
            links = context.getStateStore(Links.STORE);
        }

        @Override
        public void process(Record<String, byte[]> record) {
            String identity = links.get(record.key());
            context().forward(record.withKey(identity == null ? Ids.stub(record.key()) : identity));
        }
    }

    public static void main(String[] args) throws Exception {
        Settings settings = Settings.fromSystemProperties();
        KafkaStreams streams = new KafkaStreams(topology(settings), settings.streams());
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        while (System.in.read() >= 0) {
            // The end of the standard input ends the application.
        }
        streams.close(Duration.ofSeconds(30));
    }
}
