#include <tidegate/pool/config.hpp>

#include <map>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "support/environment.hpp"

namespace tidegate {
namespace {

using test::Environment;

// What a person may write wrongly, with a password in it. $ stands for the password.
const char* const kWithPassword[] = {
    // keyword/value
    "password=$",
    "password=$ oops",
    "password='$",
    "password='$' oops",
    "password=$ pool_max_conns=0",
    "password = $ =",
    "password $",
    "password:$",
    "$",
    "'$'",
    "=$",
    "=$=",
    "$=",
    "$=x",
    "x=$",
    "pass=$",
    "passwd=$",
    "pwd=$",
    "PASSWORD=$",
    "Password='$",
    "pasword=$",
    "password=a $=b",
    "password=a $",
    "password=a b $=c",
    "password=a b=$ $=c",
    "passwd=a $=b",
    "password='it's $",
    "password='it's $=b",
    "password='a'$=b",
    "password='a'$",
    "password=\"a $\"",
    "password=\"a $=b\"",
    "password=a pool_$=1",
    "pwd=a pool_$=1",
    "password='a\\'$",
    "password=a\\ $ b",
    "password=$ hots=x",
    // A value that was left empty, as by a shell variable that is not set, takes the next word.
    "pool_max_conns= password=$",
    "pool_gates=3 pool_name= password=$",
    "pool_acquire_timeout= password='$'",
    "host= password=$",
    "hostaddr= password=$ pool_max_conns=0",
    "user= password=$",
    "application_name= password=$",
    "hots=$",
    "host=u:$",
    "host=u:$@db1",
    "host=u:$@db1 pool_max_conns=0",
    "hostaddr=u:$@db1",
    "port=$",
    "port=5432,$",
    "dbname=postgres://u:$@h/d",
    "dbname=postgresql://u:$@h/d?x=y",
    "sslpassword=$ oops",
    "sslpasword=$",
    "pool_password=$",
    "pool_max_conns=4 password='$",
    "pool_max_conns=$ password='x",
    "pool_name=$ x",
    "password=$ pool_acquire_timeout=30",
    "password=$\tpool_gates=3",
    "sslmode=$ x",
    "user=me password",
    "user=$ password",
    "password=x $=y pool_max_conn=3",
    "password=%$",
    "options='$",
    "password=x service=y $",
    "{password=$}",
    "password=$;host=x",
    "password=$,host=x;",
    "password=$&host=x y",
    "jdbc:postgresql://h/d?password=$",
    " postgresql://u:$@h/d",
    "postgresql:/u:$@h/d",
    "postgresql:u:$@h",
    "Postgresql://u:$@h/d?sslmode=x",
    "pg://u:$@h/d?a=b",
    "postgresql//u:$@h/d a=b",
    "//u:$@h/d",
    "u:$@h/d",
    "u:$@h/d?pool_max_conns=4",
    // URI
    "postgresql://u:$@h?x",
    "postgresql://u:$@h?x=y",
    "postgresql://u:$@h/d?pool_max_conns=0",
    "postgresql://u:$@h:port/d",
    "postgresql://u:$@[::1/d",
    "postgresql://u:$@[]/d",
    "postgresql://u:$@[::1]x/d",
    "postgresql://u:a@$@h/d",
    "postgresql://u:a@$:b@h/d",
    "postgresql://u:a@$:1",
    "postgresql://u:$@b@h/d",
    "postgresql://u:$@b@h:1/d?x=y",
    "postgresql://u:$/b@h/d",
    "postgresql://u:1/$@h/d",
    "postgresql://u:a/$@h/d",
    "postgresql://u:1/$?b@h/d",
    "postgresql://u:1/a?$@h/d",
    "postgresql://u:1/a?$=b@h/d",
    "postgresql://u:1/a?b=$@h/d",
    "postgresql://u:1/a?pool_$=b@h/d",
    "postgresql://u:1/a?pool_max_conns=$@h/d",
    "postgresql://u:1/a?pool_max_conns=$&user=b@h/d",
    "postgresql://u:1/a?pool_ping_after=$@h/d?x",
    "postgresql://u:1/a?port=$@h/d",
    "postgresql://u:$",
    "postgresql://u:$/d",
    "postgresql://u:$?x=y",
    "postgresql://u:%$@h/d",
    "postgresql://u:$%@h/d",
    "postgresql://u:$%4@h/d",
    "postgresql://u:$%00@h/d",
    "postgresql://h/d?password=$&x",
    "postgresql://h/d?password=$=x",
    "postgresql://h/d?password=$&x=y",
    "postgresql://h/d?password=a&$",
    "postgresql://h/d?password=a&$=b",
    "postgresql://h/d?pasword=$",
    "postgresql://h/d?password=$%",
    "postgresql://h/d?password=$&pool_max_conn=3",
    "postgresql://h/d?password=a&pool_$=3",
    "postgresql://h/d?passwd=$&pool_gates=3",
    "postgresql://h/d?$",
    "postgresql://h/d?$=x",
    "postgresql://h/d?pool_max_conns=0&password=$",
    "postgresql://u@v:$@h/d",
    "postgresql://u:$@h1,h2@x/d",
    "postgresql://u:$@h/d@x",
    "postgresql://u:$#b@h/d?x",
    "postgres://u:$:$@h:x/d",
    "postgres://$@h/d?x",
};

std::string with(std::string_view shape, std::string_view password) {
  std::string text;
  for (const char c : shape) {
    if (c == '$') {
      text += password;
    } else {
      text += c;
    }
  }
  return text;
}

TEST(PoolConfigMasking, NoErrorHoldsAPasswordOrAPieceOfOne) {
  const Environment clean;
  int refused = 0;
  // The second passes for a key, the third for the number of a port.
  for (const std::string secret : {"S3cR&tM!rk", "s3cretmark", "49151"}) {
    for (const char* shape : kWithPassword) {
      for (const std::string& text :
           {with(shape, secret), with(shape, secret) + " ", "host=h " + with(shape, secret),
            with(shape, secret) + " user=u"}) {
        try {
          const PoolConfig config = PoolConfig::parse(text);
          (void)config;
        } catch (const ConfigError& error) {
          ++refused;
          EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << text << "\n"
                                                                               << error.what();
          for (const auto& problem : error.problems()) {
            EXPECT_EQ((problem.key + problem.value + problem.text).find(secret), std::string::npos)
                << text;
          }
        }
        // Hand-made, the same string must not leak either.
        const PoolConfig config{.conninfo = text};
        try {
          config.validate();
        } catch (const ConfigError& error) {
          EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << text << "\n"
                                                                               << error.what();
          EXPECT_EQ(config.to_string().find(secret), std::string::npos) << text << "\n"
                                                                        << config.to_string();
        }
      }
    }
  }
  EXPECT_GT(refused, 500);
}

// Found by the fuzz target conninfo: "pool_max_conns=$N password=..." in a shell script without N.
// The error showed the password, as the value of pool_max_conns that is no whole number.
TEST(PoolConfigMasking, AnEmptyValueThatTakesThePasswordShowsNothingOfIt) {
  const Environment clean;
  for (const char* text : {"pool_max_conns= password=S3c", "pool_name= password=S3c",
                           "host= password=S3c", "user= password=S3c"}) {
    try {
      static_cast<void>(PoolConfig::parse(text));
      FAIL() << text;
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).find("S3c"), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(PoolConfig::parse("application_name= password=S3c user=u").to_string(),
            "application_name=*** user=u");
  EXPECT_EQ(PoolConfig::parse("options='-c geqo=off'").to_string(), "options='-c geqo=off'");
}

TEST(PoolConfigMasking, ToStringHidesEverySecretOfAGoodString) {
  const Environment clean;
  for (const auto& [text, shown] : std::map<std::string, std::string>{
           {"host=h password=S3c user=u", "host=h password=*** user=u"},
           {"password = 'S 3 c'", "password=***"},
           {"sslpassword=S3c", "sslpassword=***"},
           {"postgresql://u:S3c@h/d", "postgresql://***@h/d"},
           {"postgresql://:S3c@h/d", "postgresql://***@h/d"},
           {"postgresql://h/d?user=u&password=S3c", "postgresql://h/d?user=u&password=***"},
           {"postgresql://h/d?pass%77ord=S3c", "postgresql://h/d?password=***"},
           {"dbname='host=h password=S3c'", "dbname=***"},
           {"postgresql://h/password=S3c", "***"},
       }) {
    const auto config = PoolConfig::parse(text);
    EXPECT_EQ(config.to_string(), shown);
    EXPECT_EQ(config.effective_name().find("S3c"), std::string::npos) << config.effective_name();
  }
}

TEST(PoolConfigMasking, ToStringOfAFaultyConninfoShowsNothingOfIt) {
  EXPECT_EQ((PoolConfig{.conninfo = "host=h password='S3c"}.to_string()), "***");
  EXPECT_EQ((PoolConfig{.conninfo = "postgresql://u:S3c@h/%", .name = "a"}.to_string()),
            "*** pool_name=a");
  EXPECT_EQ((PoolConfig{.conninfo = "password=a pool_S3c=1"}.to_string()), "***");
}

}  // namespace
}  // namespace tidegate
