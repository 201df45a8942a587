package handprint.peer;

import java.time.Duration;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.Stores;

/**
 * The application: observations get the identity of their attacker, go to its
 * partition, and into its rows.
 *
 * <pre>
 * identity.events ---> links (global store)
 *                        |
 * attacker.observation -> identify -> repartition -> rows -> state_changed, state
 *                             |
 *                             +-> dead letters
 * </pre>
 */
public final class App {
    private App() {
    }

    static Topology topology(Settings settings) {
        Serde<String> string = Serdes.String();
        Serde<byte[]> bytes = Serdes.ByteArray();
        Serde<Observation> observation = Serdes.serdeFrom((topic, o) -> o.toBytes(), (topic, b) -> Observation.fromBytes(b));
        Serde<Output> output = Serdes.serdeFrom((topic, o) -> o.value(), (topic, b) -> new Output(topic, b));
        StreamsBuilder builder = new StreamsBuilder();
        builder.addGlobalStore(
                Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(Links.STORE), string, bytes).withLoggingDisabled(),
                settings.identityEvents(), Consumed.with(string, string), Links::new);
        builder.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(Rows.STORE), bytes, bytes).withCachingEnabled());
        Map<String, KStream<byte[], Identify.Parsed>> parsed = builder.stream(settings.observations(), Consumed.with(string, bytes))
                .process(Identify::new, Named.as("identify"))
                .split(Named.as("usable-")).branch((key, p) -> p.observation() != null, Branched.as("yes")).defaultBranch(Branched.as("no"));
        parsed.get("usable-no").map((key, p) -> KeyValue.pair(Ids.text(key), new Output(settings.deadLetter(), p.refused())))
                .to((key, o, context) -> o.topic(), Produced.with(string, output));
        parsed.get("usable-yes").mapValues(Identify.Parsed::observation)
                .repartition(Repartitioned.with(bytes, observation).withName("by-identity"))
                .process(() -> new Rows(settings), Named.as("conclude"), Rows.STORE)
                .to((key, o, context) -> o.topic(), Produced.with(string, output));
        return builder.build(settings.streams());
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
