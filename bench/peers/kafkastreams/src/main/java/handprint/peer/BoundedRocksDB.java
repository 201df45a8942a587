package handprint.peer;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/** One block cache and one bound on memtables for all stores of the process, as Kafka's documentation has it. */
public final class BoundedRocksDB implements RocksDBConfigSetter {
    private static final Cache CACHE = new LRUCache(192 << 20);
    private static final WriteBufferManager MEMTABLES = new WriteBufferManager(96 << 20, CACHE);
    private static final BloomFilter BLOOM = new BloomFilter(10);

    @Override
    public void setConfig(String storeName, Options options, Map<String, Object> configs) {
        BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
        table.setBlockCache(CACHE);
        table.setCacheIndexAndFilterBlocks(true);
        table.setFilterPolicy(BLOOM);
        options.setTableFormatConfig(table);
        options.setWriteBufferManager(MEMTABLES);
    }

    @Override
    public void close(String storeName, Options options) {
        // What is shared lives as long as the process.
    }
}
