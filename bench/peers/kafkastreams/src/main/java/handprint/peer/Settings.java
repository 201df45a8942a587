package handprint.peer;

import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.StreamsConfig;

/** What is set from outside, by system properties, and what Kafka Streams is told. */
record Settings(String brokers, String application, String observations, String identityEvents, String stateChanged,
                String state, String deadLetter, String dir, int threads, int commitMillis, String instance, int cacheMegabytes) {

    static Settings fromSystemProperties() {
        return new Settings(
                System.getProperty("brokers", "127.0.0.1:9092"),
                System.getProperty("application", "handprint-peer"),
                System.getProperty("observations", "attacker.observation"),
                System.getProperty("identity-events", "identity.events"),
                System.getProperty("state-changed", "attribution.profile.state_changed"),
                System.getProperty("state", "attribution.state"),
                System.getProperty("dead-letter", "attribution.dead-letter"),
                System.getProperty("dir", "state-dir"),
                Integer.getInteger("threads", 2),
                Integer.getInteger("commit-ms", 100),
                System.getProperty("instance", ""),
                Integer.getInteger("cache-mb", 256));
    }

    Properties streams() {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMillis);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, (long) cacheMegabytes << 20);
        p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, BoundedRocksDB.class);
        p.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5000);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        if (!instance.isEmpty()) { // a static member: a restart within the session timeout moves no task
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), instance);
        }
        return p;
    }
}
